/**
 * Label of network sets that are not Calico's, so that a Calico selector such as `all()` does not take them for its own. No valid
 * label key has two slashes, so nobody can set it.
 */
export const foreignSetMark = "heddle.io/network-set/of-another-language"
