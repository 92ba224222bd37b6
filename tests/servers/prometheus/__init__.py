"""A real Prometheus, and promtool: built with Go from the pinned module beside this file."""
