package audit

import "context"

// VerifyNewest is Verify of the newest n rows alone: each is as it was written, and
// stands behind the one before. What is before them is not read. n is at least 1.
func VerifyNewest(ctx context.Context, store ChainReader, n int64) (count int64, wrong *Problem, err error) {
	chain, _, err := store.ReadChain(ctx, 0, 0)
	if err != nil {
		return 0, nil, err
	}
	v := verifier{begun: true, report: Report{Chain: chain}, floor: chain.Floor, at: chain.Floor, witnessed: true}
	if from := chain.Head.ID - n; from > chain.Floor.ID {
		_, links, err := store.ReadChain(ctx, from-1, 1)
		if err != nil {
			return 0, nil, err
		}
		if len(links) == 0 || links[0].ID != from {
			return 0, v.missing(from, from), nil
		}
		v.at = links[0].Point()
	}
	for v.at.ID < chain.Head.ID {
		_, links, err := store.ReadChain(ctx, v.at.ID, verifyBatch)
		if err != nil {
			return 0, nil, err
		}
		for _, link := range links {
			if link.ID > chain.Head.ID {
				break
			}
			if wrong := v.next(link); wrong != nil {
				return v.report.Count, wrong, nil
			}
		}
		if len(links) == 0 {
			break
		}
	}
	return v.report.Count, v.end(), nil
}
