"""What the demo and the benchmark measure on practice hosts, and how. Every load is bounded in count and time."""
