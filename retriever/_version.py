"""The package's version, where everything may read it without importing everything."""

__version__ = "0.1.0"
