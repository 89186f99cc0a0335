"""What several backends need: joined questions and writes, bounded threads, time limits."""
