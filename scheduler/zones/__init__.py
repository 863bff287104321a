"""Time zones: wall time and UTC; names of zones and countries as people write them."""
