"""Measurements: asv's benchmarks, and the table that holds each goal against its figure."""
