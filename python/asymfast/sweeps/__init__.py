"""Many runs: a folder of results that several processes and hosts fill together."""
