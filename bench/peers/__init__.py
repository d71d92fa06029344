"""Seawall beside nginx and Varnish, one core each, in one interleaved run: `python -m bench.peers`.

What is asked is in scenarios.py, who is asked in seawall.py, nginx.py and varnish.py, what makes a measurement
worthless in trial.py, and the order of it all in run.py.
"""
