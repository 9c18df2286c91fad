module kitgate/target

go 1.19
