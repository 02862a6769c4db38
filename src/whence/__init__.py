"""Whence: real-time recommendations with reasons."""

__version__ = "0.1.0"
