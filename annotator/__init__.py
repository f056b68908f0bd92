"""Driving video and image folders in, instance labels that people only need to correct out."""

__version__ = "0.1.0"
