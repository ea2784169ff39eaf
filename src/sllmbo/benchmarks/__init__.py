"""Fair, seeded, paired comparisons of methods on problems whose answers are known."""
