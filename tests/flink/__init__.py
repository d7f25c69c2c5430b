"""Beam on Flink: what fetches its job server, and a cluster of it on this machine."""
