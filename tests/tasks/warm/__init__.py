"""Tests of warm processes: which one fits, what its forks are, and how they end."""
