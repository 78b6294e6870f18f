"""How near kernels come to what the device can do: arithmetic, bytes, and the roof above them."""
