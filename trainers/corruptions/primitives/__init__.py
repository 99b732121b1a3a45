"""Building blocks of corruptions: filters over whole batches, zoom, plasma and frost."""
