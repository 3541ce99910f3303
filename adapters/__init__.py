"""What we call: JetStream, PostgreSQL, files, servers. They implement the ports of the domain."""
