"""Floor 5, the admin port: health, metrics, statistics. Knows the node only as `view.NodeView` shows it."""
