package rollout

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func bound(n uint16, percent bool) *intstr.IntOrString {
	v := intstr.FromInt32(int32(n))
	if percent {
		v = intstr.FromString(fmt.Sprintf("%d%%", n))
	}
	return &v
}

func FuzzFenceposts(f *testing.F) {
	f.Add(uint16(25), true, uint16(25), true, uint16(10))
	f.Add(uint16(0), true, uint16(99), true, uint16(1))
	f.Add(uint16(0), false, uint16(0), false, uint16(0))
	f.Add(uint16(65535), true, uint16(65535), false, uint16(65535))
	f.Fuzz(func(t *testing.T, surgeN uint16, surgePercent bool, unavailableN uint16, unavailablePercent bool, replicas uint16) {
		surge, unavailable, err := resolveFenceposts(bound(surgeN, surgePercent), bound(unavailableN, unavailablePercent), int32(replicas))
		if err != nil {
			t.Fatal(err)
		}
		if surge == 0 && unavailable == 0 {
			t.Error("the rollout could not move")
		}
		wantSurge, wantUnavailable := int(surgeN), int(unavailableN)
		if surgePercent {
			wantSurge = (int(surgeN)*int(replicas) + 99) / 100
		}
		if unavailablePercent {
			wantUnavailable = int(unavailableN) * int(replicas) / 100
		}
		if wantSurge == 0 && wantUnavailable == 0 {
			wantUnavailable = 1
		}
		if int(surge) != wantSurge || int(unavailable) != wantUnavailable {
			t.Errorf("got %d and %d, want %d and %d", surge, unavailable, wantSurge, wantUnavailable)
		}
	})
}

// FuzzProportional checks that sharing out neither loses nor invents Pods, for
// any sizes and any, also nonsensical, annotations.
func FuzzProportional(f *testing.F) {
	f.Add(uint16(10), uint8(3), uint16(5), []byte{5, 13, 8, 13})
	f.Add(uint16(0), uint8(1), uint16(0), []byte{1, 2, 3, 4, 5, 6})
	f.Add(uint16(1), uint8(0), uint16(9), []byte{1, 0, 1, 200, 1, 1, 200, 1})
	f.Fuzz(func(t *testing.T, replicas uint16, surge uint8, status uint16, raw []byte) {
		var sets []*appsv1.ReplicaSet
		for i := 0; i+1 < len(raw) && i < 20; i += 2 {
			rs := set(fmt.Sprint("rs", i), int32(raw[i])+1, time.Duration(i)*time.Minute)
			if raw[i+1] != 0 {
				rs.Annotations = map[string]string{MaxReplicasAnnotation: fmt.Sprint(raw[i+1])}
			}
			sets = append(sets, rs)
		}
		if len(sets) < 2 {
			return // one alone gets all
		}
		l := limits{rolling: true, replicas: int32(replicas), surge: int32(surge)}
		want := int64(l.most())
		if replicas == 0 {
			want = 0
		}
		total := int64(0)
		resizes := proportional(l, int32(status), sets)
		for _, r := range resizes {
			if r.size < 0 {
				t.Errorf("%s gets %d", r.rs.Name, r.size)
			}
			total += int64(r.size)
		}
		if total != want || len(resizes) != len(sets) {
			t.Errorf("shared out %d to %d, want %d to %d", total, len(resizes), want, len(sets))
		}
	})
}
