"""The real RabbitMQ and PostgreSQL that the tests run on: in Docker, or started from installed binaries."""
