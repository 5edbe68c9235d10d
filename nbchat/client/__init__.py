"""The client: what people hold in their hands, and its thread."""
