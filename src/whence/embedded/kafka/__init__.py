"""A real Apache Kafka on one machine, for `make kafka` and `whence up --log kafka`."""
