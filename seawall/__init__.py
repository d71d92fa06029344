"""Seawall's engine, which knows no role: the words for that stand in edge/ and shield/."""
