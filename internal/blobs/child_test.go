package blobs_test

const childOrder = "FAIRLEAD_TEST_BLOBS"

func actAsChild(string) int { return 0 }
