"""A stand-in for the AWS Load Balancer Controller v3.5: what it does to AWS and to the API, and no more."""
