"""Hardware counters of Nsight Compute: what bounds a kernel, what a change did to it, and one next edit."""
