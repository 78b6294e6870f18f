"""Forward passes and the layers in them, found in the order of kernels on a device."""
