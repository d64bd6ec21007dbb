package controller

// BucketFor is for specs that look at etcd's history.
var BucketFor = bucketFor
