"""Names of zones and countries, as people write them."""
