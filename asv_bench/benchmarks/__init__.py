"""asv's benchmarks; `asv --config asv_bench/asv.conf.json run` tracks them over time."""
