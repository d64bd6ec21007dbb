package rollout

const maxNameLength = 253

// Name is the name of a Deployment's ReplicaSet with the given hash. A long
// Deployment name is cut so that the whole is a valid name; with a hash that
// leaves no room there is nothing to be had by cutting.
func Name(deployment, hash string) string {
	if room := maxNameLength - 1 - len(hash); room > 0 && len(deployment) > room {
		deployment = deployment[:room]
	}
	return deployment + "-" + hash
}
