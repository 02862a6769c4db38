"""What `whence import` is made of: readers give rows, `entries` makes them entries, `delivery` sends those."""
