"""The faces: what a person sees."""
