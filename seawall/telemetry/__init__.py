"""Floor 2, telemetry: what is counted, what is logged, and how both are shown. Decides nothing."""
