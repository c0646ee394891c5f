"""What the cloud tells the simulated kubelets of a cluster, and how a test tells them to misbehave."""
