"""The AWS half of the local cloud: moto, with what it lacks and what the real thing does on bad days."""
