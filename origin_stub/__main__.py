"""`python -m origin_stub` is `origin-stub`."""

from __future__ import annotations

from origin_stub.main import main

if __name__ == "__main__":
    main()
