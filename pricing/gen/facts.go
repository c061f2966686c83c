package main

import "github.com/stowage-sh/stowage/cloudprovider/aws"

// This file holds what AWS documents and the published modules do not say. Each
// table names its source. An entry missing here costs a label or an extended
// resource, never a wrong one.

// xenFamilies run on Xen; every later family runs on Nitro. They are used for
// types that the table of limits has not (EC2 User Guide, "Instances built on
// the AWS Nitro System").
var xenFamilies = []string{
	"c1", "c3", "c4", "cc2", "cr1", "d2", "f1", "g2", "g3", "g3s", "h1", "hs1", "i2", "i3",
	"m1", "m2", "m3", "m4", "p2", "p3", "r3", "r4", "t1", "t2", "x1", "x1e",
}

// burstable families spend CPU credits (EC2 User Guide, "Burstable performance
// instances").
var burstable = []string{"t2", "t3", "t3a", "t4g"}

// interfaces of types that the table of limits has not: the number on the
// default card, and the addresses of each (EC2 User Guide, "Maximum IP addresses
// per network interface"; amazon-eks-ami, eni-max-pods.txt).
var interfaces = map[string]struct{ enis, ipv4PerENI int64 }{
	"cc2.8xlarge": {8, 30}, "cr1.8xlarge": {8, 30}, "hs1.8xlarge": {8, 30},
	"g2.2xlarge": {4, 15}, "g2.8xlarge": {8, 30},
	"g3s.xlarge": {4, 15}, "g3.4xlarge": {8, 30}, "g3.8xlarge": {8, 30}, "g3.16xlarge": {15, 50},
	"hpc6a.48xlarge": {2, 50}, "hpc6id.32xlarge": {1, 50},
	"hpc7a.12xlarge": {2, 50}, "hpc7a.24xlarge": {2, 50}, "hpc7a.48xlarge": {2, 50}, "hpc7a.96xlarge": {2, 50},
	"p2.xlarge": {4, 15}, "p2.8xlarge": {8, 30}, "p2.16xlarge": {8, 30}, "trn2.48xlarge": {2, 50},
}

// encryptsInTransit lists the families whose machines encrypt traffic between
// each other (EC2 User Guide, "Data protection: encryption in transit between
// instances").
var encryptsInTransit = []string{
	"c5n", "c6a", "c6gn", "c6i", "c6id", "c6in", "c7a", "c7g", "c7gd", "c7gn", "c7i", "c7i-flex", "c8g", "c8gd",
	"d3", "d3en", "dl1", "f2", "g4ad", "g4dn", "g5", "g6", "g6e", "gr6",
	"hpc6a", "hpc6id", "hpc7a", "hpc7g", "i3en", "i4g", "i4i", "i7ie", "i8g", "im4gn", "inf1", "inf2", "is4gen",
	"m5dn", "m5n", "m5zn", "m6a", "m6i", "m6id", "m6idn", "m6in", "m7a", "m7g", "m7gd", "m7i", "m7i-flex", "m8g", "m8gd",
	"p3dn", "p4d", "p4de", "p5", "p5e", "p5en",
	"r5dn", "r5n", "r6a", "r6i", "r6id", "r6idn", "r6in", "r7a", "r7g", "r7gd", "r7i", "r7iz", "r8g", "r8gd",
	"trn1", "trn1n", "trn2", "u-12tb1", "u-18tb1", "u-24tb1", "u-3tb1", "u-6tb1", "u-9tb1",
	"u7i-12tb", "u7i-6tb", "u7i-8tb", "u7in-16tb", "u7in-24tb", "u7in-32tb", "vt1", "x2idn", "x2iedn", "x2iezn", "x8g",
}

// efas counts Elastic Fabric Adapters (EC2 User Guide, "Elastic Fabric Adapter:
// supported instance types" and "Network cards"), of the types that are bought
// for them.
var efas = map[string]int64{
	"c5n.18xlarge": 1, "c5n.9xlarge": 1, "c5n.metal": 1, "c6gn.16xlarge": 1,
	"c6in.32xlarge": 2, "c6in.metal": 2, "m6idn.32xlarge": 2, "m6idn.metal": 2, "m6in.32xlarge": 2, "m6in.metal": 2,
	"r6idn.32xlarge": 2, "r6idn.metal": 2, "r6in.32xlarge": 2, "r6in.metal": 2,
	"dl1.24xlarge": 4, "g4dn.8xlarge": 1, "g4dn.12xlarge": 1, "g4dn.16xlarge": 1, "g4dn.metal": 1,
	"g5.8xlarge": 1, "g5.12xlarge": 1, "g5.16xlarge": 1, "g5.24xlarge": 1, "g5.48xlarge": 1,
	"hpc6a.48xlarge": 1, "hpc7g.4xlarge": 1, "hpc7g.8xlarge": 1, "hpc7g.16xlarge": 1, "inf1.24xlarge": 1,
	"p3dn.24xlarge": 1, "p4d.24xlarge": 4, "p4de.24xlarge": 4, "p5.48xlarge": 32, "p5e.48xlarge": 32, "p5en.48xlarge": 16,
	"trn1.32xlarge": 8, "trn1n.32xlarge": 16, "trn2.48xlarge": 16,
}

// gpuModels translates the source's models to what DescribeInstanceTypes calls
// them. The memory is what EC2 reports of one device, which for the A10G, L4 and
// L40S is less than the round number on the box.
var gpuModels = map[string]aws.Accelerators{
	"NVIDIA GRID K520":       {Name: "k520", Manufacturer: "nvidia", MemoryMiB: 4096},
	"NVIDIA Tesla K80":       {Name: "k80", Manufacturer: "nvidia", MemoryMiB: 12288},
	"NVIDIA Tesla M60":       {Name: "m60", Manufacturer: "nvidia", MemoryMiB: 8192},
	"NVIDIA Tesla V100":      {Name: "v100", Manufacturer: "nvidia", MemoryMiB: 16384},
	"NVIDIA T4 Tensor Core":  {Name: "t4", Manufacturer: "nvidia", MemoryMiB: 16384},
	"NVIDIA T4G Tensor Core": {Name: "t4g", Manufacturer: "nvidia", MemoryMiB: 16384},
	"NVIDIA A10G":            {Name: "a10g", Manufacturer: "nvidia", MemoryMiB: 22888},
	"NVIDIA L4":              {Name: "l4", Manufacturer: "nvidia", MemoryMiB: 22888},
	"NVIDIA L40S":            {Name: "l40s", Manufacturer: "nvidia", MemoryMiB: 45776},
	"NVIDIA A100":            {Name: "a100", Manufacturer: "nvidia", MemoryMiB: 40960},
	"NVIDIA H100":            {Name: "h100", Manufacturer: "nvidia", MemoryMiB: 81920},
	"NVIDIA H200":            {Name: "h200", Manufacturer: "nvidia", MemoryMiB: 144384},
	"AMD Radeon Pro V520":    {Name: "radeon-pro-v520", Manufacturer: "amd", MemoryMiB: 8192},
	"AWS Inferentia":         {Name: "inferentia", Manufacturer: "aws", MemoryMiB: 8192, Cores: 4},
	"AWS Inferentia2":        {Name: "inferentia2", Manufacturer: "aws", MemoryMiB: 32768, Cores: 2},
}

// devices of types where the source has nothing, the name of another model, or
// a model that comes with two sizes of memory (the product pages of the families).
var devices = map[string]struct{ gpus, accelerators aws.Accelerators }{
	"dl1.24xlarge":   {gpus: aws.Accelerators{Name: "gaudi-hl-205", Manufacturer: "habana", Count: 8, MemoryMiB: 32768}},
	"p3dn.24xlarge":  {gpus: aws.Accelerators{Name: "v100", Manufacturer: "nvidia", Count: 8, MemoryMiB: 32768}},
	"p4de.24xlarge":  {gpus: aws.Accelerators{Name: "a100", Manufacturer: "nvidia", Count: 8, MemoryMiB: 81920}},
	"trn1.2xlarge":   {accelerators: aws.Accelerators{Name: "trainium", Manufacturer: "aws", Count: 1, MemoryMiB: 32768, Cores: 2}},
	"trn1.32xlarge":  {accelerators: aws.Accelerators{Name: "trainium", Manufacturer: "aws", Count: 16, MemoryMiB: 32768, Cores: 2}},
	"trn1n.32xlarge": {accelerators: aws.Accelerators{Name: "trainium", Manufacturer: "aws", Count: 16, MemoryMiB: 32768, Cores: 2}},
	"trn2.48xlarge":  {accelerators: aws.Accelerators{Name: "trainium2", Manufacturer: "aws", Count: 16, MemoryMiB: 98304, Cores: 8}},
}
