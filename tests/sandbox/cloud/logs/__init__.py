"""CloudWatch Logs: moto's, and who writes to it without being asked."""
