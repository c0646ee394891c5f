"""EC2: moto's, mended. Importing this package mends everything; each module says what."""
