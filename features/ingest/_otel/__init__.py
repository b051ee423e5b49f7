"""OpenTelemetry: its containers, and the conventions of its attributes."""
