"""Tests of the Python client; run them with `python3 -m unittest discover clients/python`."""
