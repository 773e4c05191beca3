"""A run: what is planned (`pipeline`), what runs the model (`jobs`), rows on disk (`store`), the folder (`folder`)."""
