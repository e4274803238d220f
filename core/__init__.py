"""Decisions and computations as plain functions, without disk, network, clock or Prefect.

May import `config`, for the shape of a model file, and no other package of this repository.
"""
