"""What the project promises, measured: ``python -m benchmarks quality | speed | memory | kill``."""
