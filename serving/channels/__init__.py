"""Channels: one module for each kind of outside system that is told of handovers."""
