"""What a Server and a Client can both do."""
