"""Stand-ins for controllers that cannot be had as programs. They run as pods, with a pod's rights only."""
