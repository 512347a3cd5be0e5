module suigen.dev/e2e/tools/runc-lab

go 1.26.0
