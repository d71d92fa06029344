"""A real package, because one of the test extras (sniffpy, through httplint) installs a `tests` of its own."""
