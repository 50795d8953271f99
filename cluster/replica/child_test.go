package replica

const childEnv = "NETBANK_REPLICA_CHILD"

func runChild(dir string) int { return 0 }
