"""Running the desk: settings, composition, services, checks and benchmarks."""
