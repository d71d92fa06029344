from __future__ import annotations

import pytest

from bench.peers.wrk import Figures, WrkFailed, read

LINE = (
    'figures {"requests":242318,"bytes":36832336,"microseconds":2100916,'
    '"connect":0,"read":1,"write":2,"status":3,"timeout":4}'
)
OUTPUT = f"""\
Running 2s test @ http://127.0.0.1:19881/
  64 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   554.81us  254.20us   8.11ms   83.21%
    Req/Sec     1.81k   112.07     3.02k    88.55%
  242318 requests in 2.10s, 35.13MB read
Requests/sec: 115339.21
Transfer/sec:     16.72MB
{LINE}
"""


def test_the_exact_figures_are_read_and_not_the_rounded_ones() -> None:
    found = read(OUTPUT)
    assert found == Figures(242318, 36832336, 2100916, 0, 1, 2, 3, 4)
    assert found.rate == pytest.approx(115339.2, rel=1e-4)
    assert found.socket_errors == 7


@pytest.mark.parametrize(
    "output",
    [
        "",
        "unable to connect to 127.0.0.1:1 Connection refused\n",
        OUTPUT.replace(LINE, ""),
        OUTPUT + LINE,
        OUTPUT.replace(LINE, "figures {"),
        OUTPUT.replace('"status":3,', ""),
        OUTPUT.replace('"status":3', '"status":"many"'),
    ],
    ids=["nothing", "refused", "no line", "two lines", "cut off", "a figure missing", "not a number"],
)
def test_output_without_whole_figures_is_no_measurement(output: str) -> None:
    with pytest.raises(WrkFailed):
        read(output)
