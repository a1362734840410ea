{"accept_gap", 2},
